"""Conversations beyond announced relays: participants' outboxes and inboxes (GRASP-03, B 15)."""
