"""Figures and what is made of them: measurement, comparison, table, plot, budgets.

Knows nothing of servers or protocols; imports no other package of the project.
"""
