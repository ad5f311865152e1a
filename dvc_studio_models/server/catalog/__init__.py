"""Repos and versions to files: what a served repo has."""
