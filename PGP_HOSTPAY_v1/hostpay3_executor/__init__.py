"""Signs, keeps, sends and watches every transaction of our wallet."""
