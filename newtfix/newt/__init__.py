"""What a newt-style tree is: roles, usual names, places."""
