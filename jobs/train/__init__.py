"""Features to models in MLflow."""
