"""What a recipe or a certification would ask and cost, without loading weights."""
