-- A few courses and students to look at. Runs again and again: what is there stays as it is.

INSERT INTO courses (id, code, title, capacity) VALUES
  ('5eed0000-0000-4000-8000-000000000001', 'DB-101', 'Databases that survive their machines', 30),
  ('5eed0000-0000-4000-8000-000000000002', 'NET-201', 'Timeouts, retries and other promises', 20),
  ('5eed0000-0000-4000-8000-000000000003', 'OPS-301', 'Restoring on a Friday', 12)
ON CONFLICT DO NOTHING;

INSERT INTO students (id, name, email) VALUES
  ('5eed0000-0000-4000-8000-000000000101', 'Ada Marsh', 'ada.marsh@example.test'),
  ('5eed0000-0000-4000-8000-000000000102', 'Ben Okafor', 'ben.okafor@example.test'),
  ('5eed0000-0000-4000-8000-000000000103', 'Chloé Durand', 'chloe.durand@example.test'),
  ('5eed0000-0000-4000-8000-000000000104', 'Dmitri Novak', 'dmitri.novak@example.test')
ON CONFLICT DO NOTHING;

INSERT INTO enrollments (id, course_id, student_id) VALUES
  ('5eed0000-0000-4000-8000-000000000201', '5eed0000-0000-4000-8000-000000000001', '5eed0000-0000-4000-8000-000000000101'),
  ('5eed0000-0000-4000-8000-000000000202', '5eed0000-0000-4000-8000-000000000001', '5eed0000-0000-4000-8000-000000000102'),
  ('5eed0000-0000-4000-8000-000000000203', '5eed0000-0000-4000-8000-000000000003', '5eed0000-0000-4000-8000-000000000103')
ON CONFLICT DO NOTHING;
