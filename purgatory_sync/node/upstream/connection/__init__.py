"""One connection to one upstream relay, from dialling to backfill."""
