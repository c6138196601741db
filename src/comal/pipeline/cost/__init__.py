"""What a recipe or a certification would ask and cost: counted without weights, or measured with them."""
