"""Studio's API: ``client`` sends the requests and checks the replies."""
