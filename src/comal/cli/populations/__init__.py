"""What commands say of populations that are shown several answers."""
