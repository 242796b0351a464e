"""The databases: connection and SQL dialect of SQLite and of MySQL. Transactions are elsewhere."""
