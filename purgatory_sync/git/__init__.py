"""Bare repositories, conversations with git servers, quarantine, proof, refs.

Knows maps of refs and object names, not Nostr. A fetch returns something quarantined; joining
it to the repository is another call.
"""
