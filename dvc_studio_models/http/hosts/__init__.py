"""Small replies, read to their end: of Studio, Git hosts and issuers of tokens.

fetch    one request, bounded in time and size
client   asks any host, in the words of errors that may be logged
job      the token of the CI job that this process runs in
"""
