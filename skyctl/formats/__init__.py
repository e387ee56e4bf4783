"""Files of other programs: fields and movies as they come, in plain arrays."""
