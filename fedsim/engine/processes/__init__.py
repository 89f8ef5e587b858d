"""Where nodes live: in plain processes of this machine."""
