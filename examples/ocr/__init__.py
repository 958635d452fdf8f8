"""Reading a VAT invoice: models, page, fields."""
