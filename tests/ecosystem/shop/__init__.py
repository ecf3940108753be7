"""A Django project with django-rq; its database is the file that ``SHOP_DATABASE`` names."""
