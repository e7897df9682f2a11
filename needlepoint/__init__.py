"""Needlepoint: a clinic's micro-needling assistant that only says what a clinician approved."""

__version__ = "0.1.0"
