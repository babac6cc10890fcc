"""The Ray cluster: started here or joined, looked over before anything is spent."""
