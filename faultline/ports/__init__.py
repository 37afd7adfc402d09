"""What the application needs of the world, as protocols. `faultline.adapters` fulfils them."""
