-- Courses, students, and who is enrolled in what. Ids come from the service: a repeated request makes the same one.

CREATE TABLE courses (
  id uuid PRIMARY KEY,
  code text NOT NULL CONSTRAINT courses_code_key UNIQUE,
  title text NOT NULL,
  capacity integer NOT NULL CHECK (capacity > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE students (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  email text NOT NULL CONSTRAINT students_email_key UNIQUE CHECK (email = lower(email)),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE enrollments (
  id uuid PRIMARY KEY,
  course_id uuid NOT NULL CONSTRAINT enrollments_course_fkey REFERENCES courses (id),
  student_id uuid NOT NULL CONSTRAINT enrollments_student_fkey REFERENCES students (id),
  enrolled_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT enrollments_course_student_key UNIQUE (course_id, student_id)
);

CREATE INDEX enrollments_student_idx ON enrollments (student_id);
