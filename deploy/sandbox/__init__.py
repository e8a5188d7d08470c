"""The sandbox in containers: what stands in for the outside world beside the fleet's own containers, and no part of the product's image."""
