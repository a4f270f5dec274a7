"""Networks that find boxes and describe them."""
