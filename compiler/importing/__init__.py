"""From a NIR file to the float IR: what the file says, and what a reading adds to it."""
