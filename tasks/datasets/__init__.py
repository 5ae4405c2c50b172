"""Versions of a data set, release by release: what is new, leaks into what is measured, division, and the mix."""
