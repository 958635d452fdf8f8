"""Reading a VAT invoice and an identity card: models, pages, fields."""
