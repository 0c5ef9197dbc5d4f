"""Customer Lakehouse: Spark jobs that turn a retailer's raw data into customers, forecasts and advice."""
