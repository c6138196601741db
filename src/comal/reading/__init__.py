"""Files that people bring, read to the letter or refused with one message: no cell shifts, no word becomes a number."""
