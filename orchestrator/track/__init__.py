"""Results on their way out: tables, display, MLflow. The driver is the only writer."""
