"""What runs inside the Rasa process: connector, request-scoped tracker store and graph components.

The process understands a message and steers the dialogue. It holds nothing between two requests: what it must know
of a conversation comes with the request and goes back with the reply.
"""
