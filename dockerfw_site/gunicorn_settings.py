"""Gunicorn's settings for every way of running dockerfw (`-c python:dockerfw_site.gunicorn_settings`)."""

worker_class = "dockerfw_site.web_worker.BufferingWorker"
logger_class = "dockerfw_site.gunicorn_log.GunicornLogger"
# One process, whose memory and lanes all requests share.
workers = 1
# No keep-alive, because a confirmation has to prove that a new connection gets through.
keepalive = 0
control_socket_disable = True
worker_tmp_dir = "/dev/shm"  # noqa: S108 - files in memory, as gunicorn recommends
graceful_timeout = 5
