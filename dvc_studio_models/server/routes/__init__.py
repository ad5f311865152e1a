"""The routes of the API: requests in, JSON and objects out."""
