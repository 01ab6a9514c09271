"""Tests of the doors of a private service."""
