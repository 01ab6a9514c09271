"""Pull requests of contributors below `/prs/` (GRASP-06): pushed, claimed, copied, ended."""
