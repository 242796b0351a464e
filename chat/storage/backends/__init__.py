"""Databases: SQLite and MySQL behind one `DatabaseConnection`, each with its own dialect.

What differs between databases and drivers ends here: no other package imports a driver, or asks
which database it talks to.
"""
