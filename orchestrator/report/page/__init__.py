"""The report as one HTML page: sections in order, each a template and the record that it prints.

- `sections`: which sections there are, and what each of them says about a report.
- `rendering`: from a report to the page, with its figures as parts of it.
- `templates/`: `page.html` and one file a section, in the frame that it shares with the page on a cohort; `style.css`.
"""
