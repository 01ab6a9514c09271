"""Every outgoing connection: addresses, name look-ups, gate, proxy, HTTP transport."""
