"""Identifiers to customers."""
