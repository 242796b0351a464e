"""Each store operation as one transaction, in SQL that all databases share."""
