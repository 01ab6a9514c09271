"""What is kept: served events and the journal of what is held, behind one protocol."""
