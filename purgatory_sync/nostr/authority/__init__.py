"""Who may do what in a repository: members, paths of forwarding, what is known of it (B 3.7)."""
