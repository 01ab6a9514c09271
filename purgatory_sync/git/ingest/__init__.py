"""From received bytes to proven objects: quarantine, judges, connectivity."""
