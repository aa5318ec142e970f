"""Beside the line: the shop page, `firstclick shop`: a small shop that is a producer and a consumer of the topics.

Nothing on the line knows of it. visitors.py (what one visitor did and got), products.py (the shelf to look through),
views.py (both in the page's words), following.py, looking.py and sending.py (Kafka), hub.py (joins them), server.py and
guard.py (HTTP), assets/ (what the browser loads: plain HTML, CSS and ES modules).
"""
