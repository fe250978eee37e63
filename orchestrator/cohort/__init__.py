"""The cohort: manifest, images, and which exams are used."""
