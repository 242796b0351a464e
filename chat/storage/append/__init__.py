"""The group commit: many texts in one transaction, with the cache that saves it questions."""
