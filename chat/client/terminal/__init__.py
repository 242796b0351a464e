"""What a person sees and types: line mode, commands, screens. Nothing is known of sockets here."""
