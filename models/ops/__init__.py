"""Operations with one meaning and several ways to compute it."""
