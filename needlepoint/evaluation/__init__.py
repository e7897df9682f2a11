"""Figures from files of labelled messages: `needlepoint evaluate`. Nothing else in the product imports this."""
