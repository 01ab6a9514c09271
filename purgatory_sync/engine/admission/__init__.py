"""The way in: snapshot, judgement, journal."""
